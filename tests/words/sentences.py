"""Ten sentences in each of 34 languages, written for these tests.

In languages that are written without spaces, "|" separates words. It is not a part of the sentence.
"""

# ruff: noqa: E501

from __future__ import annotations

SENTENCES = {
    "amharic": """
        ዛሬ ጠዋት ወደ ገበያ ሄድኩ
        እናቴ ጣፋጭ ቡና አፈላች
        ልጆቹ በሜዳው ላይ ኳስ ይጫወታሉ
        አዲስ አበባ የኢትዮጵያ ዋና ከተማ ናት
        መጽሐፉ በጠረጴዛው ላይ ነው
        ሐኪሙ በሽተኛውን በጥንቃቄ መረመረው
        ነገ ዝናብ ሊዘንብ ይችላል
        ተማሪዎቹ ለፈተና በትጋት ያጠናሉ
        ባቡሩ በሰዓቱ ደረሰ
        ወንድሜ በባንክ ውስጥ ይሠራል
    """,
    "arabic": """
        ذهب الولد إلى المدرسة صباحا
        تطبخ أمي الطعام في المطبخ
        القاهرة أكبر مدينة عربية
        قرأت كتابا عن تاريخ الأندلس
        يشرب الرجل القهوة كل يوم
        سافرنا بالقطار من دمشق شمالا
        الطقس اليوم بارد وممطر
        تعلم الأطفال السباحة في البحر
        اشترى أخي سيارة جديدة
        تغلق المكتبة أبوابها مساء الجمعة
    """,
    "armenian": """
        Երեխաները խաղում են բակում
        Մայրս թխեց համեղ հաց
        Երևանը Հայաստանի մայրաքաղաքն է
        Ես ամեն առավոտ սուրճ եմ խմում
        Գիրքը դրված է սեղանի վրա
        Գնացքը ժամանեց ուշացումով
        Ինչպե՞ս հասնել կայարան
        Եղբայրս աշխատում է հիվանդանոցում
        Վաղը անձրև կգա լեռներում
        Ուսանողները պատրաստվում են քննությանը
    """,
    "bengali": """
        আমি প্রতিদিন সকালে চা খাই
        ঢাকা বাংলাদেশের রাজধানী
        ছেলেটি মাঠে ফুটবল খেলছে
        মা রান্নাঘরে মাছ রান্না করছেন
        বইটি টেবিলের উপর রাখা আছে
        আগামীকাল বৃষ্টি হতে পারে
        ট্রেন দুই ঘণ্টা দেরিতে এসেছে
        ডাক্তার রোগীকে ওষুধ দিয়েছেন
        নদীর ধারে একটি পুরনো মন্দির আছে
        ছাত্ররা পরীক্ষার জন্য পড়াশোনা করে
    """,
    "burmese": """
        ကျွန်တော်|ဈေး|သို့|သွား|သည်
        အမေ|ထမင်း|ချက်|နေ|သည်
        ရန်ကုန်|မြို့|ကြီး|သည်|စည်ကား|သည်
        ကလေး|များ|ကစား|ကြ|သည်
        စာအုပ်|ကို|စားပွဲ|ပေါ်|တင်|ထား|သည်
        ဒီနေ့|မိုး|ရွာ|မယ်
        ဆရာမ|က|သင်ခန်းစာ|ရှင်းပြ|သည်
        ရထား|နောက်ကျ|လာ|သည်
        မြစ်|ကမ်း|ဘေး|မှာ|ဘုရား|ရှိ|သည်
        သူ|ဆေးရုံ|မှာ|အလုပ်|လုပ်|သည်
    """,
    "chinese": """
        我|每天|早上|喝|一|杯|咖啡
        北京|是|中国|的|首都
        他|在|图书馆|看|历史|书
        明天|可能|会|下雨
        孩子们|在|公园|里|踢|足球
        火车|晚点|了|两|个|小时
        医生|建议|病人|多|休息
        这|家|餐厅|的|面条|很|好吃
        我们|坐|飞机|去|上海|旅行
        学生|正在|准备|期末|考试
    """,
    "czech": """
        Děti si hrají na dvoře
        Praha je hlavní město České republiky
        Každé ráno piji kávu s mlékem
        Vlak přijel o dvě hodiny později
        Maminka upekla jablečný koláč
        Zítra bude pršet na horách
        Kniha leží na stole vedle lampy
        Lékař předepsal pacientovi nové léky
        Můj bratr pracuje v nemocnici
        Studenti se připravují na zkoušku
    """,
    "english": """
        The library closes at eight in the evening
        My brother bought an old bicycle yesterday
        Heavy rain flooded the streets of the town
        She drinks coffee with milk every morning
        The train to London was two hours late
        Children are playing football in the park
        A doctor examined the patient carefully
        We climbed the mountain before sunrise
        The recipe needs three eggs and some flour
        His grandmother tells wonderful stories
    """,
    "finnish": """
        Lapset leikkivät pihalla koko päivän
        Helsinki on Suomen pääkaupunki
        Juon joka aamu kupin kahvia
        Juna saapui asemalle kaksi tuntia myöhässä
        Äiti leipoi herkullisen omenapiirakan
        Huomenna vuorilla sataa lunta
        Kirja on pöydällä lampun vieressä
        Lääkäri tutki potilaan huolellisesti
        Veljeni työskentelee sairaalassa
        Opiskelijat valmistautuvat kokeeseen
    """,
    "french": """
        Les enfants jouent dans le jardin
        Paris est la capitale de la France
        Je bois un café chaque matin
        Le train est arrivé avec deux heures de retard
        Ma grand-mère prépare une tarte aux pommes
        Demain, il pleuvra sur les montagnes
        Le livre est posé sur la table
        L'hôpital cherche des médecins étrangers
        Mon frère a acheté une voiture d'occasion
        Les étudiants révisent leurs examens
    """,
    "georgian": """
        ბავშვები ეზოში თამაშობენ
        თბილისი საქართველოს დედაქალაქია
        ყოველ დილით ყავას ვსვამ
        მატარებელი ორი საათით დაგვიანდა
        დედამ ვაშლის ნამცხვარი გამოაცხო
        ხვალ მთაში თოვლი მოვა
        წიგნი მაგიდაზე დევს
        ექიმმა პაციენტი გულდასმით გასინჯა
        ჩემი ძმა საავადმყოფოში მუშაობს
        სტუდენტები გამოცდისთვის ემზადებიან
    """,
    "german": """
        Die Kinder spielen im Garten Fußball
        Berlin ist die Hauptstadt von Deutschland
        Jeden Morgen trinke ich eine Tasse Kaffee
        Der Zug kam zwei Stunden zu spät an
        Meine Großmutter backt einen Apfelkuchen
        Morgen regnet es in den Bergen
        Das Buch liegt auf dem Tisch neben der Lampe
        Der Arzt untersuchte den Patienten gründlich
        Mein Bruder arbeitet schon lange im Krankenhaus
        Schöne Häuser stehen an der alten Straße
    """,
    "greek": """
        Τα παιδιά παίζουν στον κήπο
        Η Αθήνα είναι η πρωτεύουσα της Ελλάδας
        Κάθε πρωί πίνω έναν καφέ
        Το τρένο έφτασε με δύο ώρες καθυστέρηση
        Η γιαγιά μου έφτιαξε μια μηλόπιτα
        Αύριο θα βρέξει στα βουνά
        Το βιβλίο βρίσκεται πάνω στο τραπέζι
        Ο γιατρός εξέτασε προσεκτικά τον ασθενή
        Ο αδερφός μου δουλεύει στο νοσοκομείο
        Οι φοιτητές διαβάζουν για τις εξετάσεις
    """,
    "hebrew": """
        הילדים משחקים בחצר כל היום
        ירושלים היא עיר הבירה של ישראל
        אני שותה קפה בכל בוקר
        הרכבת הגיעה באיחור של שעתיים
        סבתא אפתה עוגת תפוחים טעימה
        מחר ירד גשם בהרים
        הספר מונח על השולחן
        הרופא בדק את החולה בזהירות
        אחי עובד בבית החולים
        הסטודנטים מתכוננים לבחינה
    """,
    "hindi": """
        बच्चे मैदान में क्रिकेट खेल रहे हैं
        दिल्ली भारत की राजधानी है
        मैं रोज़ सुबह चाय पीता हूँ
        रेलगाड़ी दो घंटे देर से आई
        माँ ने रसोई में खाना बनाया
        कल पहाड़ों पर बारिश होगी
        मेरी किताब मेज पर रखी है
        डॉक्टर ने मरीज को दवा दी
        मेरा भाई अस्पताल में काम करता है
        छात्र परीक्षा की तैयारी कर रहे हैं
    """,
    "hungarian": """
        A gyerekek az udvaron játszanak
        Budapest Magyarország fővárosa
        Minden reggel iszom egy kávét
        A vonat két órát késett
        Nagymamám almás süteményt sütött
        Holnap eső várható a hegyekben
        A könyv az asztalon fekszik
        Az orvos alaposan megvizsgálta a beteget
        A bátyám kórházban dolgozik
        A diákok a vizsgára készülnek
    """,
    "italian": """
        I bambini giocano nel cortile
        Roma è la capitale d'Italia
        Ogni mattina bevo un caffè
        Il treno è arrivato con due ore di ritardo
        La nonna ha preparato una torta di mele
        Domani pioverà sulle montagne
        Il libro è sul tavolo accanto alla lampada
        Il medico visitò attentamente il paziente
        Mio fratello lavora in ospedale
        Gli studenti si preparano per l'esame
    """,
    "japanese": """
        子供たち|が|公園|で|遊んで|います
        東京|は|日本|の|首都|です
        毎朝|コーヒー|を|飲みます
        電車|が|二|時間|遅れて|到着|しました
        祖母|は|りんご|の|ケーキ|を|焼きました
        明日|は|山|で|雨|が|降る|でしょう
        本|は|机|の|上|に|あります
        医者|は|患者|を|丁寧|に|診察|した
        兄|は|病院|で|働いて|いる
        学生|は|試験|の|準備|を|している
    """,
    "khmer": """
        ខ្ញុំ|ទៅ|ផ្សារ|រាល់|ព្រឹក
        ភ្នំពេញ|ជា|រាជធានី|នៃ|ប្រទេស|កម្ពុជា
        កុមារ|កំពុង|លេង|បាល់|នៅ|សួន
        ម្ដាយ|ចម្អិន|ម្ហូប|ឆ្ងាញ់
        សៀវភៅ|នៅ|លើ|តុ
        ថ្ងៃស្អែក|មេឃ|នឹង|ភ្លៀង
        រថភ្លើង|មក|យឺត|ពីរ|ម៉ោង
        គ្រូពេទ្យ|ពិនិត្យ|អ្នកជំងឺ
        បងប្រុស|ធ្វើការ|នៅ|មន្ទីរពេទ្យ
        សិស្ស|រៀន|សម្រាប់|ការប្រឡង
    """,
    "korean": """
        아이들이 공원에서 축구를 한다
        서울은 대한민국의 수도이다
        나는 매일 아침 커피를 마신다
        기차가 두 시간 늦게 도착했다
        할머니가 사과 파이를 구우셨다
        내일 산에 비가 올 것이다
        책이 책상 위에 놓여 있다
        의사가 환자를 꼼꼼히 진찰했다
        형은 큰 병원에서 일한다
        학생들이 시험을 준비하고 있다
    """,
    "lao": """
        ຂ້ອຍ|ໄປ|ຕະຫຼາດ|ທຸກ|ເຊົ້າ
        ວຽງຈັນ|ແມ່ນ|ນະຄອນຫຼວງ|ຂອງ|ປະເທດ|ລາວ
        ເດັກນ້ອຍ|ຫຼິ້ນ|ບານເຕະ|ຢູ່|ສວນ
        ແມ່|ແຕ່ງກິນ|ຢູ່|ເຮືອນຄົວ
        ປຶ້ມ|ວາງ|ເທິງ|ໂຕະ
        ມື້ອື່ນ|ຝົນ|ຈະ|ຕົກ
        ລົດໄຟ|ມາ|ຊ້າ|ສອງ|ຊົ່ວໂມງ
        ໝໍ|ກວດ|ຄົນເຈັບ|ຢ່າງ|ລະອຽດ
        ອ້າຍ|ເຮັດວຽກ|ຢູ່|ໂຮງໝໍ
        ນັກຮຽນ|ກຽມ|ສອບເສັງ
    """,
    "marathi": """
        मुले मैदानावर क्रिकेट खेळत आहेत
        मुंबई ही महाराष्ट्राची राजधानी आहे
        मी रोज सकाळी चहा पितो
        गाडी दोन तास उशिरा आली
        आईने स्वयंपाकघरात जेवण बनवले
        उद्या डोंगरावर पाऊस पडेल
        माझे पुस्तक टेबलावर ठेवले होते
        डॉक्टरांनी रुग्णाला औषध दिले
        माझा भाऊ रुग्णालयात काम करतो
        विद्यार्थी परीक्षेची तयारी करतात
    """,
    "persian": """
        کودکان در حیاط بازی می‌کنند
        تهران پایتخت ایران است
        هر روز صبح یک فنجان چای می‌نوشم
        قطار با دو ساعت تأخیر رسید
        مادربزرگ کیک سیب خوشمزه‌ای پخت
        فردا در کوهستان باران می‌بارد
        کتاب روی میز کنار چراغ است
        پزشک بیمار را با دقت معاینه کرد
        برادرم در بیمارستان کار می‌کند
        دانشجویان برای امتحان آماده می‌شوند
    """,
    "polish": """
        Dzieci bawią się na podwórku
        Warszawa jest stolicą Polski
        Każdego ranka piję filiżankę kawy
        Pociąg przyjechał z dwugodzinnym opóźnieniem
        Babcia upiekła szarlotkę z cynamonem
        Jutro w górach będzie padał śnieg
        Książka leży na stole obok lampy
        Lekarz dokładnie zbadał pacjenta
        Mój brat pracuje w szpitalu
        Studenci przygotowują się do egzaminu
    """,
    "portuguese": """
        As crianças brincam no quintal
        Lisboa é a capital de Portugal
        Todas as manhãs bebo um café
        O comboio chegou com duas horas de atraso
        A avó fez uma tarte de maçã
        Amanhã vai chover nas montanhas
        O livro está em cima da mesa
        O médico examinou o doente com atenção
        O meu irmão trabalha no hospital
        Os estudantes preparam-se para o exame
    """,
    "russian": """
        Дети играют во дворе весь день
        Москва является столицей России
        Каждое утро я пью чашку кофе
        Поезд пришёл с опозданием на два часа
        Бабушка испекла вкусный яблочный пирог
        Завтра в горах пойдёт дождь
        Книга лежит на столе около лампы
        Врач внимательно осмотрел больного
        Мой брат работает в новой больнице
        Студенты готовятся к экзамену
    """,
    "spanish": """
        Los niños juegan en el patio
        Madrid es la capital de España
        Cada mañana bebo una taza de café
        El tren llegó con dos horas de retraso
        Mi abuela preparó un pastel de manzana
        Mañana lloverá en las montañas
        El libro está sobre la mesa
        El médico examinó al paciente con cuidado
        Mi hermano trabaja en el hospital
        Los estudiantes se preparan para el examen
    """,
    "tamil": """
        குழந்தைகள் பூங்காவில் விளையாடுகிறார்கள்
        சென்னை தமிழ்நாட்டின் தலைநகரம்
        நான் தினமும் காலையில் காபி குடிப்பேன்
        ரயில் இரண்டு மணி நேரம் தாமதமாக வந்தது
        பாட்டி சுவையான உணவு சமைத்தார்
        நாளை மலையில் மழை பெய்யும்
        புத்தகம் மேசையின் மேல் உள்ளது
        மருத்துவர் நோயாளியை கவனமாக பரிசோதித்தார்
        என் அண்ணன் மருத்துவமனையில் வேலை செய்கிறார்
        மாணவர்கள் தேர்வுக்கு தயாராகிறார்கள்
    """,
    "telugu": """
        పిల్లలు పార్కులో ఆడుకుంటున్నారు
        హైదరాబాద్ తెలంగాణ రాజధాని
        నేను ప్రతి ఉదయం కాఫీ తాగుతాను
        రైలు రెండు గంటలు ఆలస్యంగా వచ్చింది
        అమ్మమ్మ రుచికరమైన వంట చేసింది
        రేపు కొండల్లో వర్షం పడుతుంది
        పుస్తకం బల్ల మీద ఉంది
        వైద్యుడు రోగిని జాగ్రత్తగా పరీక్షించాడు
        మా అన్నయ్య ఆసుపత్రిలో పనిచేస్తాడు
        విద్యార్థులు పరీక్షకు సిద్ధమవుతున్నారు
    """,
    "thai": """
        เด็ก|เล่น|ฟุตบอล|ใน|สวนสาธารณะ
        กรุงเทพ|เป็น|เมืองหลวง|ของ|ประเทศ|ไทย
        ฉัน|ดื่ม|กาแฟ|ทุก|เช้า
        รถไฟ|มา|สาย|สอง|ชั่วโมง
        คุณยาย|ทำ|ขนม|อร่อย|มาก
        พรุ่งนี้|ฝน|จะ|ตก|บน|ภูเขา
        หนังสือ|วาง|อยู่|บน|โต๊ะ
        หมอ|ตรวจ|คนไข้|อย่าง|ละเอียด
        พี่ชาย|ทำงาน|ที่|โรงพยาบาล
        นักเรียน|เตรียม|ตัว|สอบ
    """,
    "turkish": """
        Çocuklar bahçede top oynuyor
        Ankara Türkiye'nin başkentidir
        Her sabah bir fincan kahve içerim
        Tren iki saat gecikmeyle geldi
        Büyükannem elmalı turta yaptı
        Yarın dağlarda yağmur yağacak
        Kitap masanın üstünde duruyor
        Doktor hastayı dikkatle muayene etti
        İstanbul'da ılık bir akşam
        Öğrenciler sınava hazırlanıyor
    """,
    "ukrainian": """
        Діти граються на подвір'ї
        Київ є столицею України
        Щоранку я п'ю чашку кави
        Поїзд прибув із запізненням на дві години
        Бабуся спекла смачний яблучний пиріг
        Завтра в горах піде сніг
        Книжка лежить на столі біля лампи
        Лікар уважно оглянув хворого
        Мій брат купив новий комп'ютер
        Студенти готуються до іспиту
    """,
    "urdu": """
        بچے میدان میں کرکٹ کھیل رہے ہیں
        اسلام آباد پاکستان کا دارالحکومت ہے
        میں روزانہ صبح چائے پیتا ہوں
        ریل گاڑی دو گھنٹے دیر سے آئی
        امی نے باورچی خانے میں کھانا پکایا
        کل پہاڑوں پر بارش ہوگی
        میری کتاب میز پر رکھی تھی
        ڈاکٹر نے مریض کو دوا دی
        میرا بھائی ہسپتال میں ملازم ہے
        طلبہ امتحان کی تیاری کر رہے ہیں
    """,
    "vietnamese": """
        Trẻ em đang chơi bóng trong công viên
        Hà Nội là thủ đô của Việt Nam
        Mỗi sáng tôi uống một tách cà phê
        Tàu hỏa đến muộn hai tiếng
        Bà ngoại nướng bánh táo rất ngon
        Ngày mai trời sẽ mưa trên núi
        Quyển sách nằm ở trên bàn
        Bác sĩ khám cho bệnh nhân cẩn thận
        Anh trai tôi làm việc trong bệnh viện
        Sinh viên chuẩn bị cho kỳ thi
    """,
}

INFLECTED = {
    "english": "libraries=0 brothers=1 bicycles=1 streets=2 towns=2 trains=4 play=5 doctors=6 patients=6 mountains=7 recipes=8 egg=8 story=9",
    "finnish": "lapsi=0 pihalle=0 pääkaupungin=1 aamuna=2 kupit=2 junat=3 asema=3 tunnit=3 kirjat=6 potilas=7 opiskelija=9",
    "french": "enfant=0 jouer=0 jardins=0 capitales=1 cafés=2 matins=2 trains=3 tartes=4 pomme=4 montagne=5 livres=6 voitures=8 étudiante=9",
    "german": "Kind=0 spiele=0 Gärten=0 Tassen=2 Züge=3 Stunde=3 Berg=5 Bücher=6 Tische=6 Ärzte=7 Patient=7 Brüder=8 arbeiten=8 Haus=9",
    "greek": "παιδί=0 κήπος=0 πρωτεύουσες=1 τρένα=3 ώρα=3 βουνό=5 βιβλία=6 τραπέζια=6 γιατροί=7 νοσοκομεία=8 φοιτητής=9",
    "italian": "bambino=0 giocare=0 cortili=0 capitali=1 mattine=2 treni=3 ora=3 mela=4 montagna=5 libri=6 medici=7 pazienti=7 studente=9",
    "hungarian": "gyerek=0 udvar=0 reggelek=2 vonatok=3 óra=3 hegyek=5 könyvek=6 asztal=6 orvosok=7 kórház=8 diák=9 vizsga=9",
    "portuguese": "criança=0 brincar=0 capitais=1 cafés=2 hora=3 tartes=4 montanha=5 livros=6 mesas=6 médicos=7 irmãos=8 estudante=9 exames=9",
    "russian": "играть=0 двор=0 столица=1 чашка=2 поезда=3 час=3 пироги=4 гора=5 дожди=5 книги=6 стол=6 врачи=7 больница=8 студент=9",
    "spanish": "niño=0 jugar=0 patios=0 capitales=1 mañanas=2 tazas=2 trenes=3 hora=3 pasteles=4 montaña=5 libros=6 médicos=7 hospitales=8 estudiante=9",
    "turkish": "çocuk=0 bahçe=0 sabahlar=2 trenler=3 saatler=3 dağ=5 kitaplar=6 masa=6 doktorlar=7 hasta=7 öğrenci=9 sınav=9",
}
"""Forms of words that are not in the sentence, with its number."""


def sentences(language: str) -> list[tuple[str, list[str]]]:
    """Return the sentences of a language, each with its words."""
    lines = [line.strip() for line in SENTENCES[language].strip().splitlines()]
    if "|" in lines[0]:
        return [(line.replace("|", ""), line.split("|")) for line in lines]
    return [(line, [word.strip(",") for word in line.split()]) for line in lines]
