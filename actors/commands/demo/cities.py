"""The cities of the demo, their time zones and names of people."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class City:
    """A city with its time zone. `weight` is its share of the users; all weights add up to about 150."""

    name: str
    country: str
    timezone: str
    weight: int
    first_names: tuple[str, ...]
    last_names: tuple[str, ...]


# Every major offset, also of half and quarter hours, and summer time on both hemispheres. One city for each zone.
_TABLE = """
Kiritimati    | Kiribati         | Pacific/Kiritimati   | 1 | Tabokai Teweia Meria      | Tiaon Kaitu Rabaua
Chatham       | New Zealand      | Pacific/Chatham      | 1 | Mereana Hēmi Rowan        | Solomon Tuuta Goomes
Auckland      | New Zealand      | Pacific/Auckland     | 3 | Aroha Tāne Isla           | Ngata Williams Parata
Suva          | Fiji             | Pacific/Fiji         | 1 | Adi Josefa Litia          | Tuilagi Naidu Kumar
Nouméa        | New Caledonia    | Pacific/Noumea       | 1 | Éloïse Wassissi Noé       | Naisseline Martin
Lord Howe     | Australia        | Australia/Lord_Howe  | 1 | Clive Gai Thea            | Thompson Wilson Nichols
Sydney        | Australia        | Australia/Sydney     | 4 | Matilda Jack Kirra        | Nguyen Smith Papadopoulos
Adelaide      | Australia        | Australia/Adelaide   | 2 | Charlotte Noah Marlee     | Jones Rossi Watson
Tokyo         | Japan            | Asia/Tokyo           | 6 | 葵 陽翔 さくら 蓮 美咲    | 佐藤 鈴木 高橋 田中
Seoul         | South Korea      | Asia/Seoul           | 5 | 서연 민준 지우 도윤       | 김 이 박 최
Eucla         | Australia        | Australia/Eucla      | 1 | Bruce Jarrah              | Campbell Riley
Shanghai      | China            | Asia/Shanghai        | 6 | 梓涵 浩然 欣怡 子轩       | 王 李 张 刘 陈
Manila        | Philippines      | Asia/Manila          | 4 | Maricel Jomar Tala        | Santos Reyes Cruz
Bangkok       | Thailand         | Asia/Bangkok         | 4 | สมชาย มาลี กมล             | ใจดี ศรีสุข ทองคำ
Yangon        | Myanmar          | Asia/Yangon          | 2 | သီရိ အောင်                   | မြင့် ဝင်း
Dhaka         | Bangladesh       | Asia/Dhaka           | 5 | সুমাইয়া রাহুল তানিয়া আরিফ   | রহমান হোসেন আক্তার
Kathmandu     | Nepal            | Asia/Kathmandu       | 2 | सीता विशाल अनिता          | श्रेष्ठ गुरुङ तामाङ
Mumbai        | India            | Asia/Kolkata         | 6 | अदिति Arjun Zara रोहन     | शर्मा पटेल Fernandes Iyer
Karachi       | Pakistan         | Asia/Karachi         | 4 | زینب بلال عائشہ           | خان احمد قریشی
Kabul         | Afghanistan      | Asia/Kabul           | 2 | لیلا فرهاد                | کریمی نوری
Dubai         | Emirates         | Asia/Dubai           | 3 | مريم راشد Priya           | المنصوري النعيمي Nair
Tehran        | Iran             | Asia/Tehran          | 3 | نرگس آرش شیرین            | احمدی رضایی کاظمی
Tbilisi       | Georgia          | Asia/Tbilisi         | 2 | ნინო გიორგი               | ბერიძე კაპანაძე
Addis Ababa   | Ethiopia         | Africa/Addis_Ababa   | 3 | ሰላም ዳዊት                   | ተስፋዬ በቀለ
Istanbul      | Türkiye          | Europe/Istanbul      | 4 | Zeynep Çağrı Işıl         | Yılmaz Şahin Öztürk
Cairo         | Egypt            | Africa/Cairo         | 4 | نور يوسف سلمى             | حسن إبراهيم فؤاد
Kyiv          | Ukraine          | Europe/Kyiv          | 3 | Соломія Тарас Оксана      | Шевченко Коваль Бондар
Athens        | Greece           | Europe/Athens        | 3 | Ελένη Γιώργος Αθηνά       | Παπαδόπουλος Νικολάου
Johannesburg  | South Africa     | Africa/Johannesburg  | 3 | Thandiwe Sipho Lerato     | Dlamini Nkosi Botha
Berlin        | Germany          | Europe/Berlin        | 4 | Jürgen Zoë Mathilda       | Müller Weiß Großmann
Lagos         | Nigeria          | Africa/Lagos         | 5 | Adaọbí Ṣọlá Chidi Ngozi   | Okafor Adéwálé Bello Eze
Paris         | France           | Europe/Paris         | 4 | Anaïs Léo Inès            | Lefèvre Dubois N'Diaye
London        | United Kingdom   | Europe/London        | 5 | Ada Oliver Siân Imran     | Lovelace Patel O'Brien Clarke
Reykjavík     | Iceland          | Atlantic/Reykjavik   | 1 | Björk Þór Guðrún          | Jónsdóttir Einarsson
Ponta Delgada | Portugal         | Atlantic/Azores      | 1 | Inês Tomé Graça           | Medeiros Botelho
Nuuk          | Greenland        | America/Nuuk         | 1 | Paninnguaq Malik Ivalu    | Kleist Petersen
São Paulo     | Brazil           | America/Sao_Paulo    | 5 | João Conceição Luísa Caio | Gonçalves Araújo Sakamoto
Buenos Aires  | Argentina        | America/Buenos_Aires | 4 | Martín Begoña Iñaki       | Núñez Fernández Borges
St John's     | Canada           | America/St_Johns     | 2 | Maeve Leo Brigid          | Power O'Dea Murphy
Halifax       | Canada           | America/Halifax      | 2 | Gabrielle Angus Morag     | MacDonald Boudreau Paul
Caracas       | Venezuela        | America/Caracas      | 3 | Yolimar Andrés Luz        | Pérez Rodríguez
New York      | United States    | America/New_York     | 6 | Grace Malik Rivka Mei     | Hopper Washington Kaplan Chen
Bogotá        | Colombia         | America/Bogota       | 3 | Ximena Julián Sofía       | Gómez Márquez
Mexico City   | Mexico           | America/Mexico_City  | 5 | Itzel Ángel Xóchitl Raúl  | Hernández Peña Juárez
Chicago       | United States    | America/Chicago      | 4 | Ruth Terrence Zofia       | Kowalski Johnson
Denver        | United States    | America/Denver       | 2 | Sequoia Wyatt             | Begay Anderson
Los Angeles   | United States    | America/Los_Angeles  | 5 | Soledad Ryan Anahit Jae   | Garcia Lee Petrosyan
Anchorage     | United States    | America/Anchorage    | 1 | Nukilik Tess              | Oquilluk Hansen
Taiohae       | French Polynesia | Pacific/Marquesas    | 1 | Teiki Tahia               | Kimitete Huukena
Honolulu      | United States    | Pacific/Honolulu     | 2 | Leilani Kaʻiulani Keoni   | Kealoha Akana
Pago Pago     | American Samoa   | Pacific/Pago_Pago    | 1 | Sina Tavita               | Leiato Tuiasosopo
"""


def _city(line: str) -> City:
    name, country, timezone, weight, first_names, last_names = (cell.strip() for cell in line.split("|"))
    return City(name, country, timezone, int(weight), tuple(first_names.split()), tuple(last_names.split()))


CITIES = tuple(_city(line) for line in _TABLE.strip().splitlines())
"""Roughly from east to west."""
